"""What wraps a step: caching and guarding are lifecycles, so the run itself knows neither."""
