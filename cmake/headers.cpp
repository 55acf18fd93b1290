// Nothing of its own: for the targets that precompiled headers belong to.

int main() {}
