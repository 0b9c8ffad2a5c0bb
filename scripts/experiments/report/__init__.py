"""Results of experiments: values, statistics, plots, the page."""
