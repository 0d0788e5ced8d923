"""Small array functions: linear prediction, resampling, framing."""
