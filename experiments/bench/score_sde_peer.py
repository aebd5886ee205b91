"""What is timed of score_sde_pytorch, from a checkout of it: the same cases, by its own functions.

Its modules are imported as they are. Of its CUDA extensions only the FIR filter is used by these
networks: where it does not compile (`extensions=False`), its own implementation in PyTorch's
operations stands in, as it does on a CPU.
"""

import gc
import pathlib
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np


def namespace(values: Any) -> Any:
    """Nested dictionaries as the objects with attributes that its functions read."""
    if isinstance(values, dict):
        return types.SimpleNamespace(**{key: namespace(value) for key, value in values.items()})
    return values


def import_torch(path: pathlib.Path, extensions: bool) -> types.ModuleType:
    """PyTorch, with the checkout's modules importable."""
    import torch
    from torch.utils import cpp_extension

    if not extensions:
        cpp_extension.load = lambda *args, **kwargs: None
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    return torch


class ScoreSDEPyTorch:
    """A network of score_sde_pytorch with random weights.

    Args:
        path: of the checkout.
        network: the section `network` of our config of the same network.
        sde: "vp" or "ve".
        device: "cpu" or "cuda".
        dtype: "float32", or "bfloat16" by PyTorch's autocast.
        how: "eager", "channels_last" or "compiled" (channels_last, with torch.compile).
    """

    def __init__(
        self, path: pathlib.Path, network: dict, sde: str, device: str, dtype: str, how: str
    ):
        self.torch = torch = import_torch(path, extensions=False)
        import likelihood
        import losses
        import models.ema
        import models.ncsnpp
        import op
        import sampling
        import sde_lib

        if device == "cuda":  # the filter of PyTorch's operations in place of the extension's
            module = sys.modules["op.upfirdn2d"]

            def upfirdn2d(x, kernel, up=1, down=1, pad=(0, 0)):
                return module.upfirdn2d_native(x, kernel, up, up, down, down, *pad, *pad)

            op.upfirdn2d = module.upfirdn2d = upfirdn2d
            import models.up_or_down_sampling

            models.up_or_down_sampling.upfirdn2d = upfirdn2d
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True
            torch.backends.cudnn.benchmark = True
        self.sampling, self.likelihoods, self.losses = sampling, likelihood, losses
        self.sde_lib, self.ema = sde_lib, models.ema
        self.device, self.sde_name, self.dtype = device, sde, dtype
        torch.manual_seed(0)
        model = models.ncsnpp.NCSNpp(_config(network, device)).to(device)
        if how != "eager":
            model = model.to(memory_format=torch.channels_last)
        self.module, self.how = model, how
        self.model = self._cast(torch.compile(model) if how == "compiled" else model)
        self.rng = np.random.default_rng(0)

    def _cast(self, model):
        torch, device = self.torch, self.device
        if self.dtype == "float32":
            return model

        class Autocast(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = model

            def forward(self, x, labels):
                with torch.autocast(device, dtype=torch.bfloat16):
                    return self.inner(x, labels).float()

        return Autocast()

    def sde(self, steps: int = 1000) -> Any:
        """Its process with so many levels."""
        if self.sde_name == "vp":
            return self.sde_lib.VPSDE(beta_min=0.1, beta_max=20.0, N=steps)
        return self.sde_lib.VESDE(sigma_min=0.01, sigma_max=50.0, N=steps)

    def images(self, count: int, size: int = 32) -> Any:
        """Random images in the range of the network."""
        x = self.rng.uniform(size=(count, 3, size, size)).astype(np.float32)
        x = self.torch.from_numpy(2 * x - 1 if self.sde_name == "vp" else x).to(self.device)
        if self.how == "eager":
            return x
        return x.to(memory_format=self.torch.channels_last)

    def wait(self, value: Any) -> Any:
        """The value, when the device is done."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return value

    def forward(self, count: int) -> Callable[[], Any]:
        """The network's output."""
        x, labels = self.images(count), self.torch.full((count,), 500.0, device=self.device)
        self.model.eval()

        def call():
            with self.torch.no_grad():
                return self.wait(self.model(x, labels)).shape

        return call

    def train(self, count: int, steps: int) -> Callable[[], Any]:
        """Its training step: loss, gradient, clipping, Adam, and its moving average."""
        config = namespace(
            {
                "optim": {
                    **{"optimizer": "Adam", "lr": 2e-4, "beta1": 0.9, "eps": 1e-8},
                    **{"weight_decay": 0.0, "warmup": 5000, "grad_clip": 1.0},
                }
            }
        )
        state = {
            "model": self.model,
            "optimizer": self.losses.get_optimizer(config, self.model.parameters()),
            "ema": self.ema.ExponentialMovingAverage(self.model.parameters(), decay=0.9999),
            "step": 0,
        }
        step = self.losses.get_step_fn(
            self.sde(),
            train=True,
            optimize_fn=self.losses.optimization_manager(config),
            reduce_mean=True,
        )
        batch = self.images(count)

        def call():
            for _ in range(steps):
                loss = step(state, batch)
            return self.wait(loss).shape

        return call

    def pc(self, count: int, steps: int) -> tuple[Callable[[], Any], int]:
        """Predictor-corrector sampling, and its evaluations of the network."""
        shape = (count, 3, 32, 32)
        draw = self.sampling.get_pc_sampler(
            self.sde(steps),
            shape,
            self.sampling.ReverseDiffusionPredictor,
            self.sampling.LangevinCorrector,
            lambda x: x,
            snr=0.16,
            continuous=True,
            eps=1e-3,
            device=self.device,
        )
        return lambda: self.wait(draw(self.model)[0]).shape, 2 * steps

    def flow(self, count: int, tolerance: float) -> tuple[Callable[[], Any], int]:
        """Its probability flow, by SciPy's solver on the host, and its evaluations."""
        draw = self.sampling.get_ode_sampler(
            self.sde(),
            (count, 3, 32, 32),
            lambda x: x,
            rtol=tolerance,
            atol=tolerance,
            device=self.device,
        )
        evaluations = draw(self.model)[1]
        return lambda: self.wait(draw(self.model)[0]).shape, evaluations

    def likelihood(self, count: int, tolerance: float) -> tuple[Callable[[], Any], int]:
        """Its likelihood, likewise."""
        function = self.likelihoods.get_likelihood_fn(
            self.sde(), lambda x: x, rtol=tolerance, atol=tolerance, eps=1e-5
        )
        x = self.images(count)
        evaluations = function(self.model, x)[2]
        return lambda: self.wait(function(self.model, x)[0]).shape, evaluations

    def peak_memory(self, call: Callable[[], Any]) -> int | None:
        """Bytes that PyTorch had at most during a call.

        None for large networks on CPUs: to read the profile of one takes PyTorch over ten minutes.
        """
        if self.device == "cuda":
            self.torch.cuda.empty_cache()
            self.torch.cuda.reset_peak_memory_stats()
            call()
            return self.torch.cuda.max_memory_allocated()
        if sum(p.numel() for p in self.module.parameters()) > 10e6:
            return None
        held = self._held()
        profiler = self.torch.profiler
        with profiler.profile(
            activities=[profiler.ProfilerActivity.CPU], profile_memory=True
        ) as run:
            call()
        events = run.profiler.kineto_results.events()
        changes = [event.nbytes() for event in events if event.name() == "[memory]"]
        return held + int(np.max(np.cumsum([0, *changes])))

    def _held(self) -> int:
        """Bytes of all tensors that there are, gradients included."""
        tensors = [thing for thing in gc.get_objects() if self.torch.is_tensor(thing)]
        tensors += [p.grad for p in self.module.parameters() if p.grad is not None]
        storages = [tensor.untyped_storage() for tensor in tensors]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _config(network: dict, device: str) -> Any:
    """What its NCSNpp reads, of the section of our config."""
    model = {
        "num_scales": 1000,
        "beta_min": 0.1,
        "beta_max": 20.0,
        "sigma_min": 0.01,
        "sigma_max": 50.0,
        "normalization": "GroupNorm",
        "resamp_with_conv": True,
        "conditional": True,
        "fir_kernel": [1, 3, 3, 1],
        "progressive_combine": "sum",
        "attention_type": "ddpm",
        "fourier_scale": 16,
        "conv_size": 3,
        **{key: value for key, value in network.items() if key not in ("name", "centered")},
    }
    values = {
        "device": device,
        "data": {"image_size": 32, "num_channels": 3, "centered": network["centered"]},
        "training": {"continuous": True},
        "model": {**model, "name": "ncsnpp"},
    }
    return namespace(values)
