"""Default values of on-policy algorithms, compared over many kinds of environment."""
