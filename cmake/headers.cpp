// Nothing of its own: for the target that precompiled headers belong to.
