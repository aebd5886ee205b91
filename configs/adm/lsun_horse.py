"""ADM on LSUN horses, 256x256 (arXiv:2105.05233)."""

from scoresde.configs import datasets, openai


def get_config():
    """The experiment."""
    network = openai.adm_unet(256, dropout=0.1)
    config = openai.hybrid(openai.chain("linear", 1000, network))
    datasets.lsun(config, "horse")
    config.network.dropout = 0.1
    return openai.training(config, 1e-4, 250_000, 256, flip=True)
