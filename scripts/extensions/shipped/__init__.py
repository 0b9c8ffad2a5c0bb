"""Extensions that come along, as examples to start from; each has a short name (:mod:`scripts.extensions.naming`)."""
