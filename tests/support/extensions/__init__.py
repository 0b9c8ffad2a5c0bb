"""Extensions that lie, hang, crash or are broken, for tests: each must be refused by name and harm nobody."""
