"""What is known of Keras beyond its public interface.

No other module imports `keras.src` or touches a private name of one of its objects; the linter says so. When the
ceiling of Keras in `pyproject.toml` is raised, this is what to check.
"""
