"""The host process, which starts, confines and ends zygotes and replicas, and the library that routers call it with."""
