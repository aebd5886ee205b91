"""Data sets other than CIFAR-10, and what training on them changes.

Large sets are decoded once into the folder given by --config.data.source.cache=DIR.
"""

from scoresde.configs import networks, processes
from scoresde.configs.default import Section, placeholder


def _tfds(config: Section, size: int, **options) -> None:
    config.data.source = Section(
        {"name": "tfds", **options, "data_dir": placeholder(str), "cache": placeholder(str)}
    )
    config.data.image_shape = (size, size, 3)


def _large(config: Section, batch_size: int) -> None:
    if "dropout" in config.network:
        config.network.dropout = 0.0
    config.training.update(
        {"batch_size": batch_size, "num_steps": 2_400_001, "checkpoint_every": 5000}
    )
    config.likelihood.batch_size = max(1, batch_size // 8)


def celeba(config: Section) -> Section:
    """CelebA, 64x64: the central 140x140 pixels."""
    _tfds(config, 64, dataset="celeb_a", test="validation", crop=140, image_size=64)
    return config


def lsun(config: Section, category: str, size: int = 256) -> Section:
    """One category of LSUN: the central square of each image."""
    _tfds(config, size, dataset=f"lsun/{category}", test="validation", image_size=size)
    _large(config, batch_size=64 if size >= 256 else 128)
    return config


def imagenet32(config: Section) -> Section:
    """Downsampled ImageNet, 32x32, as van den Oord et al. 2016 made it; not mirrored."""
    _tfds(config, 32, dataset="downsampled_imagenet/32x32", test="validation")
    config.data.flip = False
    config.network.dropout = 0.0
    return config


def _tfrecords(config: Section, name: str, size: int) -> Section:
    config.data.source = Section(
        {
            "name": "tfrecords",
            "path": f"data/{name}-r{size.bit_length() - 1:02d}.tfrecords",
            "cache": placeholder(str),
        }
    )
    config.data.image_shape = (size, size, 3)
    _large(config, batch_size=64 if size <= 256 else 8)
    config.training.eval_every = 0  # there are no test images
    if size > 256:
        config.training.steps_per_dispatch = 1
        config.training.ema_rate = 0.9999
        config.training.sample_every = 0  # hours, for a grid of 64
    return config


def celebahq(config: Section, size: int) -> Section:
    """CelebA-HQ, from the TFRecord file of one resolution that progressive GANs are trained on."""
    return _tfrecords(config, "celebahq", size)


def ffhq(config: Section, size: int) -> Section:
    """FFHQ, from the TFRecord file of one resolution that StyleGAN is trained on."""
    return _tfrecords(config, "ffhq", size)


def digits(config: Section) -> Section:
    """The embedded 8x8 digits with a network for them: minutes on two cores."""
    config.data.source = Section({"name": "digits"})
    config.data.update(
        {
            "image_shape": (8, 8, 1),
            "dequantize": True,  # 17 levels: the likelihood needs the noise between them
            "flip": False,
        }
    )
    config.network.update(
        {
            "nf": 32,
            "ch_mult": (1, 2),
            "num_res_blocks": 1,
            "attn_resolutions": (4,),
            "dropout": 0.0,
        }
    )
    config.loss.times = Section({"name": "stratified"})
    config.optimizer.update({"learning_rate": 3e-3, "warmup": 50, "schedule": "cosine"})
    config.training.update(
        {
            "batch_size": 64,
            "num_steps": 900,
            "steps_per_dispatch": 1,
            "ema_rate": 0.995,
            "ema_warmup": "inverse",  # short runs forget their initial weights
            "log_every": 20,
            "eval_every": 200,
            "sample_every": 300,
            "checkpoint_every": 300,
            "keep_every": None,
        }
    )
    config.dequantizer.network.update(
        {
            "couplings": 2,
            "filters": 32,
            "blocks": 1,
            "components": 8,
            "context_blocks": 1,
            "heads": 0,
        }
    )
    config.dequantizer.optimizer.update({"learning_rate": 1e-3, "warmup": 100})
    config.dequantizer.update({"batch_size": 64, "num_steps": 400, "checkpoint_every": 200})
    config.sampler.denoise = "tweedie"
    config.likelihood.update(
        # To 1e-3 bits/dim; a ninth of the test images is as fast as all of them at a time.
        {"probes": 2, "rtol": 1e-3, "atol": 1e-3, "batch_size": 33}
    )
    return config


def imagenet(config: Section, size: int, batch_size: int) -> Section:
    """ImageNet: the central square of each image, and its class where the network has classes."""
    _tfds(config, size, dataset="imagenet2012", test="validation", image_size=size)
    config.data.labels = bool(config.network.get("num_classes") or config.network.get("label_dim"))
    config.training.batch_size = batch_size
    config.likelihood.batch_size = max(1, batch_size // 8)
    return config


def imagenet512_latents(config: Section) -> Section:
    """ImageNet at 512x512 as latents 4x64x64 of Stable Diffusion's autoencoder, and its classes.

    The file, or directory, holds `train_image` [n, 64, 64, 4], each channel moved and scaled to
    mean 0 and standard deviation 0.5, and `train_label`, see `scoresde.data.arrays`; neither the
    autoencoder nor the latents are part of this code.
    """
    config.data.update(
        {
            "source": Section({"name": "arrays", "path": "data/imagenet512_latents"}),
            "image_shape": (64, 64, 4),
            "codec": "identity",
            "flip": False,
            "labels": True,
        }
    )
    config.training.update({"eval_every": 0, "sample_every": 0})  # latents are no pictures
    config.likelihood.batch_size = 32
    return config


def imagenet64(config: Section) -> Section:
    """Downsampled ImageNet, 64x64, as van den Oord et al. 2016 made it; it has no classes."""
    _tfds(config, 64, dataset="downsampled_imagenet/64x64", test="validation")
    return config


def conditional_emoji(images: dict[str, int]) -> Section:
    """VP and a DDPM++ of 7.0 million parameters on emoji that sees these images beside x."""
    network = networks.ddpmpp(
        nf=64, ch_mult=(1, 2, 2), num_res_blocks=2, attn_resolutions=(16,), dropout=0.1
    )
    network.condition_images = images
    config = processes.variance_preserving("vp", network)
    config.data.source = {"name": "emoji32"}
    config.data.flip = False
    # What is told says much of x0, and a network of the noise too little of it at much noise.
    config.prediction = Section({"name": "v"})
    config.loss.times = Section({"name": "stratified"})
    config.loss.weighting = Section({"name": "edm", "sigma_data": 0.5})
    config.optimizer.update({"learning_rate": 1e-3, "warmup": 200, "schedule": "cosine"})
    config.training.update(
        {
            "batch_size": 256,
            "num_steps": 5000,
            "ema_rate": 0.999,
            "ema_warmup": "inverse",
            "eval_every": 500,
            "sample_every": 0,
            "checkpoint_every": 1000,
            "keep_every": None,
        }
    )
    config.sampler = Section(
        {
            "name": "dpm_solver_pp_2m",
            "steps": 40,
            "grid": "log_snr",
            "t_min": 1e-3,
            "denoise": "tweedie",
            "clip": (-1.0, 1.0),
        }
    )
    config.likelihood.batch_size = 32
    return config
