"""nnU-Net's `architecture` section and our topology and network, in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoseg.core.errors import SpecError
from autoseg.networks import networks
from autoseg.specs.document import Component
from autoseg.specs.plan import Topology

PACKAGE = "dynamic_network_architectures.architectures."
CLASSES = {"PlainConvUNet": "plain_unet", "ResidualEncoderUNet": "residual_encoder_unet"}
BATCH_NORM_TRAINER = "nnUNetTrainerBN"
_BLOCKS = {"plain_unet": "n_conv_per_stage", "residual_encoder_unet": "n_blocks_per_stage"}
_NORMS = {"InstanceNorm": "instance", "BatchNorm": "batch"}
_NORM_MODULES = {
    "instance": "torch.nn.modules.instancenorm.InstanceNorm",
    "batch": "torch.nn.modules.batchnorm.BatchNorm",
}
_ACTIVATIONS = {"LeakyReLU": "leaky_relu", "ReLU": "relu"}
_SHARED_OPTIONS = ("norm", "norm_eps", "activation", "dropout", "conv_bias")
"""Options of our networks that nnU-Net's have too."""
_DEFAULT_EPS = 1e-5
_IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")
_OLD_KEYS = (
    *("UNet_class_name", "UNet_base_num_features", "unet_max_num_features", "num_pool_per_axis"),
    *("n_conv_per_stage_encoder", "n_conv_per_stage_decoder", "pool_op_kernel_sizes", "conv_kernel_sizes"),
)


def refused(key: str, value: object) -> SpecError:
    """The error for a setting that has no counterpart here."""
    return SpecError(f"nnU-Net's setting {key} = {value!r} has no counterpart in autoseg", "predict with nnU-Net")


def take_architecture(section: dict[str, Any], *, trainer: str) -> tuple[Topology, Component]:
    """Take the keys of the network out of a configuration of `plans.json`.

    Plans from before nnU-Net 2.5 name `UNet_class_name` and its numbers in the configuration itself; what they leave
    out was fixed then: convolutions with bias, affine instance norm, leaky ReLU, no dropout.

    Args:
        section: One configuration, inheritance resolved; the keys are removed.
        trainer: Name of the trainer's class: one of nnU-Net's replaces the norm.

    Raises:
        SpecError: A network or a setting that has no counterpart here, or a key that is missing.
    """
    if "architecture" not in section:
        section["architecture"] = _from_old({key: _take(section, key) for key in _OLD_KEYS}, len(section["patch_size"]))
    architecture = dict(_take(section, "architecture"))
    named = str(_take(architecture, "network_class_name"))
    module, _, kind = named.rpartition(".")
    if kind not in CLASSES or not f"{module}.".startswith(PACKAGE):
        raise refused("architecture.network_class_name", named)
    arguments = dict(_take(architecture, "arch_kwargs"))
    architecture.pop("_kw_requires_import", None)
    _nothing_left(architecture, "architecture")
    network = CLASSES[kind]
    topology = _topology(arguments, network)
    options = _options(arguments, topology.dimensions)
    if trainer == BATCH_NORM_TRAINER:
        options |= {"norm": "batch", "norm_eps": _DEFAULT_EPS}
    _drop_defaults(arguments, topology)
    _nothing_left(arguments, "architecture.arch_kwargs")
    return topology, Component(name=network, options=_without_defaults(network, options))


def architecture_of(topology: Topology, network: Component) -> dict[str, Any]:
    """nnU-Net's section for one of our networks.

    Raises:
        SpecError: A network or an option that nnU-Net's classes do not have.
    """
    kind = next((name for name, own in CLASSES.items() if own == network.name), None)
    if kind is None:
        raise SpecError(f"nnU-Net has no network '{network.name}'", "train with a method whose network it has (nnunet)")
    options = networks.options(network.name, network.options).model_dump()
    for key, value in _without_defaults(network.name, options).items():
        if key not in _SHARED_OPTIONS or value == "none":
            raise SpecError(f"nnU-Net's {kind} has no {key} = {value!r}", "train without it")
    dimensions = f"{topology.dimensions}d"
    dropout = options["dropout"]
    return {
        "network_class_name": f"{PACKAGE}unet.{kind}",
        "arch_kwargs": {
            "n_stages": len(topology.features),
            "features_per_stage": list(topology.features),
            "conv_op": f"torch.nn.modules.conv.Conv{dimensions}",
            "kernel_sizes": [list(kernel) for kernel in topology.kernels],
            "strides": [list(stride) for stride in topology.strides],
            _BLOCKS[network.name]: list(topology.encoder_blocks),
            "n_conv_per_stage_decoder": list(topology.decoder_blocks),
            "conv_bias": options["conv_bias"],
            "norm_op": f"{_NORM_MODULES[options['norm']]}{dimensions}",
            "norm_op_kwargs": {"eps": options["norm_eps"], "affine": True},
            "dropout_op": f"torch.nn.modules.dropout.Dropout{dimensions}" if dropout else None,
            "dropout_op_kwargs": {"p": dropout, "inplace": True} if dropout else None,
            "nonlin": "torch.nn." + next(key for key, own in _ACTIVATIONS.items() if own == options["activation"]),
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": list(_IMPORTED),
    }


def _from_old(section: Mapping[str, Any], dimensions: int) -> dict[str, Any]:
    kind = section["UNet_class_name"]
    if kind not in CLASSES:
        raise refused("UNet_class_name", kind)
    base, cap = section["UNet_base_num_features"], section["unet_max_num_features"]
    stages = len(section["n_conv_per_stage_encoder"])
    return {
        "network_class_name": f"{PACKAGE}unet.{kind}",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [min(base * 2**stage, cap) for stage in range(stages)],
            "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
            "kernel_sizes": section["conv_kernel_sizes"],
            "strides": section["pool_op_kernel_sizes"],
            _BLOCKS[CLASSES[kind]]: section["n_conv_per_stage_encoder"],
            "n_conv_per_stage_decoder": section["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": f"{_NORM_MODULES['instance']}{dimensions}d",
            "norm_op_kwargs": {"eps": _DEFAULT_EPS, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }


def _topology(arguments: dict[str, Any], network: str) -> Topology:
    stages = int(_take(arguments, "n_stages"))
    dimensions = 2 if str(arguments.get("conv_op")).endswith("2d") else 3
    features = _per_stage(_take(arguments, "features_per_stage"), stages, "features_per_stage")
    kernels = _per_axis(_take(arguments, "kernel_sizes"), stages, dimensions, "kernel_sizes")
    strides = _per_axis(_take(arguments, "strides"), stages, dimensions, "strides")
    if strides[0] != (1,) * dimensions:
        raise refused("architecture.arch_kwargs.strides", strides)
    if any(edge % 2 == 0 for kernel in kernels for edge in kernel):
        raise refused("architecture.arch_kwargs.kernel_sizes", kernels)
    return Topology(
        features=features,
        strides=strides,
        kernels=kernels,
        encoder_blocks=_per_stage(_take(arguments, _BLOCKS[network]), stages, _BLOCKS[network]),
        decoder_blocks=_per_stage(_take(arguments, "n_conv_per_stage_decoder"), stages - 1, "n_conv_per_stage_decoder"),
    )


def _options(arguments: dict[str, Any], dimensions: int) -> dict[str, Any]:
    suffix = f"{dimensions}d"
    conv = str(_take(arguments, "conv_op"))
    if not conv.startswith("torch.nn.") or conv.rpartition(".")[2] != f"Conv{suffix}":
        raise refused("architecture.arch_kwargs.conv_op", conv)
    norm = _of_torch(arguments.pop("norm_op", None), "norm_op", {f"{key}{suffix}": own for key, own in _NORMS.items()})
    details = dict(arguments.pop("norm_op_kwargs", None) or {})
    eps = float(details.pop("eps", _DEFAULT_EPS))
    # torch's instance norm has weights only where told so, its batch norm always.
    if details.pop("affine", norm == "batch") is not True:
        raise refused("architecture.arch_kwargs.norm_op_kwargs.affine", False)
    _nothing_left(details, "architecture.arch_kwargs.norm_op_kwargs")
    return {
        "norm": norm,
        "norm_eps": eps,
        "activation": _activation(arguments),
        "dropout": _dropout(arguments, suffix),
        "conv_bias": bool(arguments.pop("conv_bias", False)),
    }


def _activation(arguments: dict[str, Any]) -> str:
    activation = _of_torch(arguments.pop("nonlin", None), "nonlin", _ACTIVATIONS)
    details = dict(arguments.pop("nonlin_kwargs", None) or {})
    details.pop("inplace", None)
    if details.get("negative_slope") == 0.01:
        del details["negative_slope"]
    _nothing_left(details, "architecture.arch_kwargs.nonlin_kwargs")
    return activation


def _dropout(arguments: dict[str, Any], suffix: str) -> float:
    kind, details = arguments.pop("dropout_op", None), dict(arguments.pop("dropout_op_kwargs", None) or {})
    if kind is None:
        return 0.0
    _of_torch(kind, "dropout_op", {f"Dropout{suffix}": "dropout"})
    details.pop("inplace", None)
    share = float(details.pop("p", 0.5))
    _nothing_left(details, "architecture.arch_kwargs.dropout_op_kwargs")
    if not 0 < share < 1:
        raise refused("architecture.arch_kwargs.dropout_op_kwargs.p", share)
    return share


def _drop_defaults(arguments: dict[str, Any], topology: Topology) -> None:
    """Arguments that may be given as long as they say what is the case anyway."""
    harmless = {
        "deep_supervision": (True, False),
        "nonlin_first": (False,),
        "bottleneck_channels": (None,),
        "stem_channels": (None, topology.features[0]),
        "block": ("dynamic_network_architectures.building_blocks.residual.BasicBlockD",),
    }
    for key, values in harmless.items():
        if key in arguments and arguments[key] in values:
            del arguments[key]


def _of_torch(value: object, key: str, known: Mapping[str, str]) -> str:
    module, _, kind = str(value).rpartition(".")
    if not f"{module}.".startswith("torch.nn.") or kind not in known:
        raise refused(f"architecture.arch_kwargs.{key}", value)
    return known[kind]


def _per_stage(value: Any, stages: int, key: str) -> tuple[int, ...]:
    values = (value,) * stages if isinstance(value, int) else tuple(int(each) for each in value)
    if len(values) != stages:
        raise SpecError(f"nnU-Net's {key} has {len(values)} entries, not {stages}", "mend plans.json")
    return values


def _per_axis(value: Any, stages: int, dimensions: int, key: str) -> tuple[tuple[int, ...], ...]:
    values: Sequence[Any] = (value,) * stages if isinstance(value, int) else value
    found = tuple(
        (each,) * dimensions if isinstance(each, int) else tuple(int(edge) for edge in each) for each in values
    )
    if len(found) != stages or any(len(each) != dimensions for each in found):
        raise SpecError(f"nnU-Net's {key} = {value} does not fit {stages} stages in {dimensions}D", "mend plans.json")
    return found


def _take(section: dict[str, Any], key: str) -> Any:
    if key not in section:
        raise SpecError(f"nnU-Net's plans lack '{key}'", "copy the model folder again")
    return section.pop(key)


def _nothing_left(section: Mapping[str, Any], where: str) -> None:
    for key, value in section.items():
        raise refused(f"{where}.{key}", value)


def _without_defaults(network: str, options: dict[str, Any]) -> dict[str, Any]:
    """Only what differs from the network's defaults, so that equal networks have equal options."""
    defaults = networks.options(network, {}).model_dump()
    return {key: value for key, value in options.items() if defaults.get(key) != value}
