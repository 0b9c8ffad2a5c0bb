"""The protocols, their values, and the processes behind them."""
