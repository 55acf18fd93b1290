// The one translation unit that holds volk's loader.
#define VOLK_IMPLEMENTATION
#include <volk.h>
