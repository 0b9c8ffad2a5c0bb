"""Extensions held against the model."""
