"""Stage one: the networks, their fine-tuning, and what they see."""
