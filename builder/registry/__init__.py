"""Images in registries: the distribution protocol, who may speak it, and by which way.

References come in, verified blobs in the store and complete images in a registry come out. It knows nothing of
Dockerfiles or builds.
"""
