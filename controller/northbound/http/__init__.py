"""HTTP as every operation has it: requests, answers, tokens, conditions, problem documents, and the server."""
