"""Extensions asked: in processes of their own, without the lock; their answers audited, refusals told and counted."""
