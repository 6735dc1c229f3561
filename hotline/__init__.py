"""The program: command line, services, settings and what holds the other packages together."""

__version__ = "0.1.0"
