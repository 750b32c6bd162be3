/*
 * What C cannot say, for each architecture. Both functions are called, like all of the shim, with any signal pending and
 * on any stack: they use nothing but registers and the return address.
 *
 * vfork returns twice, in the child first, on the parent's stack: a C wrapper's frame would be overwritten before the
 * parent came back to it. So: note the event, restore the stack, and jump; the real vfork returns to our caller.
 *
 * bare_syscall is libc's syscall(2), which we hook ourselves.
 */
        .text
#if defined __x86_64__
        .globl vfork, __vfork
        .type vfork, %function
        .set __vfork, vfork
vfork:  endbr64
        sub     $8, %rsp
        call    before_vfork
        add     $8, %rsp
        jmp     *next_vfork(%rip)
        .size vfork, . - vfork

        .globl bare_syscall
        .hidden bare_syscall
        .type bare_syscall, %function
bare_syscall:
        endbr64
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %r10
        mov     %r9, %r8
        mov     8(%rsp), %r9
        syscall
        cmp     $-4095, %rax
        jae     1f
        ret
1:      mov     %rax, %rdi
        jmp     bare_error
        .size bare_syscall, . - bare_syscall
#elif defined __aarch64__
        .globl vfork, __vfork
        .type vfork, %function
        .set __vfork, vfork
vfork:  stp     x29, x30, [sp, -16]!
        bl      before_vfork
        ldp     x29, x30, [sp], 16
        adrp    x16, next_vfork
        ldr     x16, [x16, :lo12:next_vfork]
        br      x16
        .size vfork, . - vfork

        .globl bare_syscall
        .hidden bare_syscall
        .type bare_syscall, %function
bare_syscall:
        mov     x8, x0
        mov     x0, x1
        mov     x1, x2
        mov     x2, x3
        mov     x3, x4
        mov     x4, x5
        mov     x5, x6
        svc     0
        cmn     x0, 4095
        b.cs    bare_error
        ret
        .size bare_syscall, . - bare_syscall
#elif defined __i386__
        .globl vfork, __vfork
        .type vfork, %function
        .set __vfork, vfork
vfork:  sub     $12, %esp
        call    before_vfork
        add     $12, %esp
        call    1f /* where are we? ecx belongs to the called */
1:      pop     %ecx
        jmp     *next_vfork - 1b(%ecx)
        .size vfork, . - vfork

/* int 0x80 takes longer than what the vDSO chooses (about 0.1 us), and needs nothing: no TLS, no vDSO, no libc. */
        .globl bare_syscall
        .hidden bare_syscall
        .type bare_syscall, %function
bare_syscall:
        push    %ebx
        push    %esi
        push    %edi
        push    %ebp
        mov     20(%esp), %eax
        mov     24(%esp), %ebx
        mov     28(%esp), %ecx
        mov     32(%esp), %edx
        mov     36(%esp), %esi
        mov     40(%esp), %edi
        mov     44(%esp), %ebp
        int     $0x80
        pop     %ebp
        pop     %edi
        pop     %esi
        pop     %ebx
        cmp     $-4095, %eax
        jae     1f
        ret
1:      mov     %eax, 4(%esp) /* the place of our arguments is ours */
        jmp     bare_error
        .size bare_syscall, . - bare_syscall
#else
#error "bare.S: vfork and bare_syscall are missing for this architecture"
#endif
        .section .note.GNU-stack, "", %progbits
