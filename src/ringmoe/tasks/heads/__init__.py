"""Heads: from the pyramid of a backbone to scores or values."""

from ringmoe.tasks.heads.bins import BinsHead
from ringmoe.tasks.heads.bit import BITHead
from ringmoe.tasks.heads.difference import DifferenceHead
from ringmoe.tasks.heads.fusion import Fusion
from ringmoe.tasks.heads.linear import LinearHead
from ringmoe.tasks.heads.regression import RegressionHead
from ringmoe.tasks.heads.upernet import UPerNet, UPerNetDecoder

__all__ = [
    "BITHead",
    "BinsHead",
    "DifferenceHead",
    "Fusion",
    "LinearHead",
    "RegressionHead",
    "UPerNet",
    "UPerNetDecoder",
]
