"""Write a partial differential equation once; solve it, learn it, fit it, filter it, correct it.

Public names are loaded on first use, so that importing the package, or asking the command line for help, is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml import testing as testing
    from sciml.assimilation.augmented import Augmented as Augmented
    from sciml.assimilation.augmented import augmented as augmented
    from sciml.assimilation.baselines import Climatology as Climatology
    from sciml.assimilation.baselines import OptimalInterpolation as OptimalInterpolation
    from sciml.assimilation.covariance import Covariance as Covariance
    from sciml.assimilation.covariance import GaussianCovariance as GaussianCovariance
    from sciml.assimilation.covariance import sampled_covariance as sampled_covariance
    from sciml.assimilation.cycle import cycle as cycle
    from sciml.assimilation.cycles import Cycles as Cycles
    from sciml.assimilation.enkf import DEnKF as DEnKF
    from sciml.assimilation.enkf import EnKF as EnKF
    from sciml.assimilation.enkf_n import EnKFN as EnKFN
    from sciml.assimilation.enks import EnKS as EnKS
    from sciml.assimilation.etkf import ETKF as ETKF
    from sciml.assimilation.extended import ExtendedKF as ExtendedKF
    from sciml.assimilation.ienks import IEnKS as IEnKS
    from sciml.assimilation.inflation import AdaptiveInflation as AdaptiveInflation
    from sciml.assimilation.inflation import Inflation as Inflation
    from sciml.assimilation.instruments import data_rows as data_rows
    from sciml.assimilation.instruments import derived as derived
    from sciml.assimilation.instruments import instruments as instruments
    from sciml.assimilation.letkf import LETKF as LETKF
    from sciml.assimilation.localization import Localization as Localization
    from sciml.assimilation.modes import fourier as fourier
    from sciml.assimilation.observation import Observation as Observation
    from sciml.assimilation.operators import every as every
    from sciml.assimilation.operators import mask as mask
    from sciml.assimilation.particle import OptimalParticleFilter as OptimalParticleFilter
    from sciml.assimilation.particle import ParticleFilter as ParticleFilter
    from sciml.assimilation.points import at_points as at_points
    from sciml.assimilation.points import lines as lines
    from sciml.assimilation.points import local_average as local_average
    from sciml.assimilation.points import moving as moving
    from sciml.assimilation.serial import EAKF as EAKF
    from sciml.assimilation.stochastic import Stochastic as Stochastic
    from sciml.assimilation.twin import Twin as Twin
    from sciml.assimilation.twin import twin as twin
    from sciml.assimilation.variational import FourDVar as FourDVar
    from sciml.assimilation.variational import ThreeDVar as ThreeDVar
    from sciml.core.conservation import ConservationLaw as ConservationLaw
    from sciml.core.derivatives import Derivatives as Derivatives
    from sciml.core.domain import Dirichlet as Dirichlet
    from sciml.core.domain import Domain as Domain
    from sciml.core.domain import Free as Free
    from sciml.core.domain import Neumann as Neumann
    from sciml.core.domain import Periodic as Periodic
    from sciml.core.domain import Slip as Slip
    from sciml.core.elastic import ElasticBody as ElasticBody
    from sciml.core.equation import Equation as Equation
    from sciml.core.equation import ResidualForm as ResidualForm
    from sciml.core.equation import Term as Term
    from sciml.core.errors import BlowUpError as BlowUpError
    from sciml.core.errors import ContractError as ContractError
    from sciml.core.errors import DataWarning as DataWarning
    from sciml.core.errors import InputError as InputError
    from sciml.core.errors import SciMLError as SciMLError
    from sciml.core.errors import UnsupportedError as UnsupportedError
    from sciml.core.field import Field as Field
    from sciml.core.grid import Grid as Grid
    from sciml.core.incompressible import IncompressibleFlow as IncompressibleFlow
    from sciml.core.loading import load_problem as load_problem
    from sciml.core.loading import problem_names as problem_names
    from sciml.core.problem import Problem as Problem
    from sciml.core.problem import Profile as Profile
    from sciml.core.problem import RandomLaw as RandomLaw
    from sciml.core.propagator import Propagator as Propagator
    from sciml.core.propagator import Solution as Solution
    from sciml.core.propagator import Stepper as Stepper
    from sciml.core.rollout import rollout as rollout
    from sciml.core.rollout import trajectory as trajectory
    from sciml.core.steady import SteadyDiffusion as SteadyDiffusion
    from sciml.core.steady import SteadyEquation as SteadyEquation
    from sciml.core.symbol import Symbol as Symbol
    from sciml.core.tangent import tangent_linear as tangent_linear
    from sciml.derivatives.finite_volume import FiniteVolume as FiniteVolume
    from sciml.derivatives.fourier import Fourier as Fourier
    from sciml.derivatives.functional import Functional as Functional
    from sciml.derivatives.functional import PointResidual as PointResidual
    from sciml.derivatives.lagrangian import Lagrangian as Lagrangian
    from sciml.derivatives.points import Points as Points
    from sciml.derivatives.stencil import Stencil as Stencil
    from sciml.generation.generate import generate as generate
    from sciml.io.checkpoint import Checkpoint as Checkpoint
    from sciml.io.dataset import grid_of as grid_of
    from sciml.io.dataset import to_dataset as to_dataset
    from sciml.io.dataset import to_tensor as to_tensor
    from sciml.io.netcdf import load as load
    from sciml.io.netcdf import save as save
    from sciml.io.open import open_data as open_data
    from sciml.io.pdebench_write import write_pdebench as write_pdebench
    from sciml.io.reference import read_reference as read_reference
    from sciml.io.trajectories import Trajectories as Trajectories
    from sciml.io.well_stats import read_stats as read_stats
    from sciml.io.well_write import write_well as write_well
    from sciml.optim.gauss_newton import GaussNewton as GaussNewton
    from sciml.optim.lbfgs import LBFGS as LBFGS
    from sciml.optim.soap import SOAP as SOAP
    from sciml.optim.ssbroyden import SSBroyden as SSBroyden
    from sciml.report.animation import animate as animate
    from sciml.report.assimilate import assimilate as assimilate
    from sciml.report.compare import compare as compare
    from sciml.report.figures import plot as plot
    from sciml.report.work_precision import work_precision as work_precision
    from sciml.solvers.adams_bashforth import AB2 as AB2
    from sciml.solvers.adaptive import DormandPrince as DormandPrince
    from sciml.solvers.etdrk import ETDRK1 as ETDRK1
    from sciml.solvers.etdrk import ETDRK2 as ETDRK2
    from sciml.solvers.etdrk import ETDRK3 as ETDRK3
    from sciml.solvers.etdrk import ETDRK4 as ETDRK4
    from sciml.solvers.filtered import Filtered as Filtered
    from sciml.solvers.finite_volume import FiniteVolumeStepper as FiniteVolumeStepper
    from sciml.solvers.imex import ARK3 as ARK3
    from sciml.solvers.imex import CNAB2 as CNAB2
    from sciml.solvers.lyapunov import lyapunov_exponents as lyapunov_exponents
    from sciml.solvers.runge_kutta import RK4 as RK4
    from sciml.solvers.scipy_bridge import scipy_solve as scipy_solve
    from sciml.solvers.solve import solve as solve
    from sciml.solvers.steady import solve_steady as solve_steady
    from sciml.spectral.convolution import SpectralConv as SpectralConv
    from sciml.surrogates.inr.fits import AdamFit as AdamFit
    from sciml.surrogates.inr.fits import NaturalGradient as NaturalGradient
    from sciml.surrogates.inr.run import Evolution as Evolution
    from sciml.surrogates.inr.run import evolve as evolve
    from sciml.surrogates.inr.stepper import INRState as INRState
    from sciml.surrogates.inr.stepper import INRStepper as INRStepper
    from sciml.surrogates.load import load_model as load_model
    from sciml.surrogates.lpinn.lpinn import LPINN as LPINN
    from sciml.surrogates.operators.deeponet import DeepONet as DeepONet
    from sciml.surrogates.operators.factorised import FactorisedFNO as FactorisedFNO
    from sciml.surrogates.operators.fno import FNO as FNO
    from sciml.surrogates.operators.sfno import SFNO as SFNO
    from sciml.surrogates.operators.transolver import Transolver as Transolver
    from sciml.surrogates.pinn.estimate import estimate as estimate
    from sciml.surrogates.pinn.estimated import Band as Band
    from sciml.surrogates.pinn.estimated import Estimate as Estimate
    from sciml.surrogates.pinn.march import MarchedPINN as MarchedPINN
    from sciml.surrogates.pinn.march import march_pinn as march_pinn
    from sciml.surrogates.pinn.objective import PinnObjective as PinnObjective
    from sciml.surrogates.pinn.pinn import PINN as PINN
    from sciml.surrogates.pinn.sampling import RAD as RAD
    from sciml.surrogates.pinn.sampling import RARD as RARD
    from sciml.surrogates.pinn.sampling import Gauss as Gauss
    from sciml.surrogates.pinn.sampling import Sobol as Sobol
    from sciml.surrogates.pinn.sampling import Uniform as Uniform
    from sciml.surrogates.refine import refine as refine
    from sciml.training.fit import fit as fit
    from sciml.training.forecasts import blown_up as blown_up
    from sciml.training.forecasts import time_to_correlation as time_to_correlation
    from sciml.training.losses import Sobolev as Sobolev
    from sciml.training.losses import relative_l2 as relative_l2
    from sciml.training.norms import sobolev_norm as sobolev_norm
    from sciml.training.objective import LeastSquares as LeastSquares
    from sciml.training.objective import Objective as Objective
    from sciml.training.objective import Physics as Physics
    from sciml.training.objective import SquaredError as SquaredError
    from sciml.training.objective import Supervised as Supervised
    from sciml.training.pairs import pairs as pairs
    from sciml.training.refine import Refinement as Refinement
    from sciml.training.refine import refine_trajectory as refine_trajectory
    from sciml.training.residual import Residual as Residual

_HOME = {
    "sciml.assimilation.augmented": ("Augmented", "augmented"),
    "sciml.assimilation.baselines": ("Climatology", "OptimalInterpolation"),
    "sciml.assimilation.covariance": ("Covariance", "GaussianCovariance", "sampled_covariance"),
    "sciml.assimilation.cycle": ("cycle",),
    "sciml.assimilation.cycles": ("Cycles",),
    "sciml.assimilation.enkf": ("DEnKF", "EnKF"),
    "sciml.assimilation.enkf_n": ("EnKFN",),
    "sciml.assimilation.enks": ("EnKS",),
    "sciml.assimilation.etkf": ("ETKF",),
    "sciml.assimilation.extended": ("ExtendedKF",),
    "sciml.assimilation.ienks": ("IEnKS",),
    "sciml.assimilation.inflation": ("AdaptiveInflation", "Inflation"),
    "sciml.assimilation.instruments": ("data_rows", "derived", "instruments"),
    "sciml.assimilation.letkf": ("LETKF",),
    "sciml.assimilation.localization": ("Localization",),
    "sciml.assimilation.modes": ("fourier",),
    "sciml.assimilation.observation": ("Observation",),
    "sciml.assimilation.operators": ("every", "mask"),
    "sciml.assimilation.particle": ("OptimalParticleFilter", "ParticleFilter"),
    "sciml.assimilation.points": ("at_points", "lines", "local_average", "moving"),
    "sciml.assimilation.serial": ("EAKF",),
    "sciml.assimilation.stochastic": ("Stochastic",),
    "sciml.assimilation.twin": ("Twin", "twin"),
    "sciml.assimilation.variational": ("FourDVar", "ThreeDVar"),
    "sciml.core.conservation": ("ConservationLaw",),
    "sciml.core.derivatives": ("Derivatives",),
    "sciml.core.domain": ("Dirichlet", "Domain", "Free", "Neumann", "Periodic", "Slip"),
    "sciml.core.elastic": ("ElasticBody",),
    "sciml.core.equation": ("Equation", "ResidualForm", "Term"),
    "sciml.core.errors": ("BlowUpError", "ContractError", "DataWarning", "InputError", "SciMLError", "UnsupportedError"),
    "sciml.core.field": ("Field",),
    "sciml.core.grid": ("Grid",),
    "sciml.core.incompressible": ("IncompressibleFlow",),
    "sciml.core.loading": ("load_problem", "problem_names"),
    "sciml.core.problem": ("Problem", "Profile", "RandomLaw"),
    "sciml.core.propagator": ("Propagator", "Solution", "Stepper"),
    "sciml.core.rollout": ("rollout", "trajectory"),
    "sciml.core.steady": ("SteadyDiffusion", "SteadyEquation"),
    "sciml.core.symbol": ("Symbol",),
    "sciml.core.tangent": ("tangent_linear",),
    "sciml.derivatives.finite_volume": ("FiniteVolume",),
    "sciml.derivatives.fourier": ("Fourier",),
    "sciml.derivatives.functional": ("Functional", "PointResidual"),
    "sciml.derivatives.lagrangian": ("Lagrangian",),
    "sciml.derivatives.points": ("Points",),
    "sciml.derivatives.stencil": ("Stencil",),
    "sciml.generation.generate": ("generate",),
    "sciml.io.checkpoint": ("Checkpoint",),
    "sciml.io.dataset": ("grid_of", "to_dataset", "to_tensor"),
    "sciml.io.netcdf": ("load", "save"),
    "sciml.io.open": ("open_data",),
    "sciml.io.pdebench_write": ("write_pdebench",),
    "sciml.io.reference": ("read_reference",),
    "sciml.io.trajectories": ("Trajectories",),
    "sciml.io.well_stats": ("read_stats",),
    "sciml.io.well_write": ("write_well",),
    "sciml.optim.gauss_newton": ("GaussNewton",),
    "sciml.optim.lbfgs": ("LBFGS",),
    "sciml.optim.soap": ("SOAP",),
    "sciml.optim.ssbroyden": ("SSBroyden",),
    "sciml.report.animation": ("animate",),
    "sciml.report.assimilate": ("assimilate",),
    "sciml.report.compare": ("compare",),
    "sciml.report.figures": ("plot",),
    "sciml.report.work_precision": ("work_precision",),
    "sciml.solvers.adams_bashforth": ("AB2",),
    "sciml.solvers.adaptive": ("DormandPrince",),
    "sciml.solvers.etdrk": ("ETDRK1", "ETDRK2", "ETDRK3", "ETDRK4"),
    "sciml.solvers.filtered": ("Filtered",),
    "sciml.solvers.finite_volume": ("FiniteVolumeStepper",),
    "sciml.solvers.imex": ("ARK3", "CNAB2"),
    "sciml.solvers.lyapunov": ("lyapunov_exponents",),
    "sciml.solvers.runge_kutta": ("RK4",),
    "sciml.solvers.scipy_bridge": ("scipy_solve",),
    "sciml.solvers.solve": ("solve",),
    "sciml.solvers.steady": ("solve_steady",),
    "sciml.spectral.convolution": ("SpectralConv",),
    "sciml.surrogates.inr.fits": ("AdamFit", "NaturalGradient"),
    "sciml.surrogates.inr.run": ("Evolution", "evolve"),
    "sciml.surrogates.inr.stepper": ("INRState", "INRStepper"),
    "sciml.surrogates.load": ("load_model",),
    "sciml.surrogates.operators.deeponet": ("DeepONet",),
    "sciml.surrogates.operators.factorised": ("FactorisedFNO",),
    "sciml.surrogates.operators.fno": ("FNO",),
    "sciml.surrogates.operators.sfno": ("SFNO",),
    "sciml.surrogates.operators.transolver": ("Transolver",),
    "sciml.surrogates.lpinn.lpinn": ("LPINN",),
    "sciml.surrogates.pinn.estimate": ("estimate",),
    "sciml.surrogates.pinn.estimated": ("Band", "Estimate"),
    "sciml.surrogates.pinn.march": ("MarchedPINN", "march_pinn"),
    "sciml.surrogates.pinn.objective": ("PinnObjective",),
    "sciml.surrogates.pinn.pinn": ("PINN",),
    "sciml.surrogates.pinn.sampling": ("RAD", "RARD", "Gauss", "Sobol", "Uniform"),
    "sciml.surrogates.refine": ("refine",),
    "sciml.training.fit": ("fit",),
    "sciml.training.forecasts": ("blown_up", "time_to_correlation"),
    "sciml.training.losses": ("Sobolev", "relative_l2"),
    "sciml.training.norms": ("sobolev_norm",),
    "sciml.training.objective": ("LeastSquares", "Objective", "Physics", "SquaredError", "Supervised"),
    "sciml.training.pairs": ("pairs",),
    "sciml.training.refine": ("Refinement", "refine_trajectory"),
    "sciml.training.residual": ("Residual",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name == "testing":
        return importlib.import_module("sciml.testing")
    if name not in _MODULE:
        raise AttributeError(f"module 'sciml' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
