"""Raw data sets: the converter protocol, its registry, and the checks every case must pass (layer 3)."""

from autoseg.datasets.converter import CaseTarget, Converter, ConverterInfo, NoOptions, SourceCase
from autoseg.datasets.registry import converter_names, load_converter, recognising

__all__ = [
    "CaseTarget",
    "Converter",
    "ConverterInfo",
    "NoOptions",
    "SourceCase",
    "converter_names",
    "load_converter",
    "recognising",
]
