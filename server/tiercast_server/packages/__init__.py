"""Packages: the library, its cabinets and rights, needs, versions and patches."""
