"""Smaller models from larger ones: statistics, sub-models, expert pruning, dense integration."""

from ringmoe.pruning.averaging import Averaging
from ringmoe.pruning.budget import Budget
from ringmoe.pruning.calibrate import calibrate, collect
from ringmoe.pruning.candidates import Candidate
from ringmoe.pruning.choice import choose, pareto_front, plain
from ringmoe.pruning.decomposition import Decomposition
from ringmoe.pruning.distillation import DistilConfig, distil
from ringmoe.pruning.distillation_objective import Distillation, Teacher
from ringmoe.pruning.expert_pruning import ExpertPruning
from ringmoe.pruning.fidelity import Fidelity, Reference, calibration_tiles
from ringmoe.pruning.integration import FunctionAware
from ringmoe.pruning.layer import Experts, Layer
from ringmoe.pruning.layer_statistics import LayerStatistics
from ringmoe.pruning.method import METHODS, Method, Selection, method_named
from ringmoe.pruning.neurons import NeuronSelection
from ringmoe.pruning.planner import plan_pruning
from ringmoe.pruning.prune import prune, prune_model
from ringmoe.pruning.quantisation import quantise
from ringmoe.pruning.statistics import Statistics, load_statistics, statistics_folder
from ringmoe.pruning.submodel import SubModel
from ringmoe.pruning.summation import Summation

__all__ = [
    "METHODS",
    "Averaging",
    "Budget",
    "Candidate",
    "Decomposition",
    "DistilConfig",
    "Distillation",
    "ExpertPruning",
    "Experts",
    "Fidelity",
    "FunctionAware",
    "Layer",
    "LayerStatistics",
    "Method",
    "NeuronSelection",
    "Reference",
    "Selection",
    "Statistics",
    "SubModel",
    "Summation",
    "Teacher",
    "calibrate",
    "calibration_tiles",
    "choose",
    "collect",
    "distil",
    "load_statistics",
    "method_named",
    "pareto_front",
    "plain",
    "plan_pruning",
    "prune",
    "prune_model",
    "quantise",
    "statistics_folder",
]
