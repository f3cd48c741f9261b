"""From the winner to use: a model (networks and heads), and what it says of new products."""

from fusecat.stages.prediction.answer import Answers, classify, predict
from fusecat.stages.prediction.model import Model
from fusecat.stages.prediction.model_folder import load_model, save_model

__all__ = ["Answers", "Model", "classify", "load_model", "predict", "save_model"]
