// Linked with fast_path.c compiled by -fsanitize=thread: the compiler then calls these instead of touching memory itself, so
// that every store to shared memory is seen, one by one and in its order. Nothing here looks for races.

#include <stdint.h>

typedef struct {
    uint64_t *address;
    uint64_t value;
} stored_t;

stored_t watched_stores[1024];
unsigned watched_count;

void __tsan_atomic64_store(volatile uint64_t *address, uint64_t value, int order)
{
    (void)order;
    if (watched_count < sizeof watched_stores / sizeof *watched_stores)
        watched_stores[watched_count] = (stored_t){(uint64_t *)address, value};
    watched_count++;
    *address = value;
}

uint64_t __tsan_atomic64_load(const volatile uint64_t *address, int order)
{
    (void)order;
    return *address;
}

void __tsan_atomic_thread_fence(int order) { (void)order; }
void __tsan_init(void) {}
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void) {}

#define PLAIN_ACCESS(name)                                                                                             \
    void __tsan_##name(void *address) { (void)address; }

#define PLAIN_RANGE(name)                                                                                              \
    void __tsan_##name(void *address, unsigned long size) { (void)address, (void)size; }

PLAIN_RANGE(read_range)
PLAIN_RANGE(write_range)
PLAIN_ACCESS(read1)
PLAIN_ACCESS(read2)
PLAIN_ACCESS(read4)
PLAIN_ACCESS(read8)
PLAIN_ACCESS(read16)
PLAIN_ACCESS(write1)
PLAIN_ACCESS(write2)
PLAIN_ACCESS(write4)
PLAIN_ACCESS(write8)
PLAIN_ACCESS(write16)
PLAIN_ACCESS(unaligned_read2)
PLAIN_ACCESS(unaligned_read4)
PLAIN_ACCESS(unaligned_read8)
PLAIN_ACCESS(unaligned_write2)
PLAIN_ACCESS(unaligned_write4)
PLAIN_ACCESS(unaligned_write8)
