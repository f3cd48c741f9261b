"""From the winner to use: a model (networks and heads), and what it says of new products."""

from fusecat.stages.prediction.answer import predict
from fusecat.stages.prediction.answers import Answers
from fusecat.stages.prediction.classifier import Classifier
from fusecat.stages.prediction.classify import classify
from fusecat.stages.prediction.model import Model
from fusecat.stages.prediction.model_folder import load_model, save_model

__all__ = ["Answers", "Classifier", "Model", "classify", "load_model", "predict", "save_model"]
