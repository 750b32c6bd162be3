/* Prints the kernel's counters of this network namespace. */
#include "counters.h"

int main(void) { print_counters("kernel: "); }
