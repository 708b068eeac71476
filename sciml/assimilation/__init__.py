"""Data assimilation: what instruments see, how an ensemble meets data, and cycles of forecasts and analyses."""
