"""From the winner to use: a model (networks and heads), and what it says of new products."""

from stages.prediction.answering import Answers, classify, predict
from stages.prediction.model import Model
from stages.prediction.saved import load_model, save_model

__all__ = ["Answers", "Model", "classify", "load_model", "predict", "save_model"]
