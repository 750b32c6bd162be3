/*
 * Is this the process whose memory this is? A forked child that no hook noticed has a copy of what we know, and a vfork
 * child has the thing itself; in both only the real calls are made.
 *
 * getpid(2) would tell, for a system call at each close. A page that the kernel wipes in every child (madvise(2),
 * MADV_WIPEONFORK) tells for nothing; getpid is asked only once a child has shared our memory (vfork, clone with
 * CLONE_VM), and where the kernel is too old.
 */
#include "lingerclose.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic bool *mine;
static pid_t pid;
static _Atomic bool memory_shared;

/* The constructor's, and a noticed child's. */
void owner_begin(void)
{
    static const size_t page = 4096;
    if (!mine) {
        void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return; /* nobody owns it then: real calls only */
        mine = p;
        if (madvise(p, page, MADV_WIPEONFORK))
            memory_shared = true;
    }
    pid = getpid();
    atomic_store(mine, true);
}

void owner_shares_memory(void) { atomic_store(&memory_shared, true); }

bool owned(void) { return mine && atomic_load(mine) && (!atomic_load(&memory_shared) || getpid() == pid); }
