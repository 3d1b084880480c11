"""The library: packages and definitions, cabinets, depots and media."""
