"""STAGE ONE: `extract.py` tells it; networks, fine-tuning, embedding, folds, time and memory."""
