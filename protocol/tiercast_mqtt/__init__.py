"""MQTT 3.1.1 as Tiercast needs it: a pure codec, pure session machines, a bulk client and a small broker.

Nothing in this package knows of Tiercast.
"""
