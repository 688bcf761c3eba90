// The fast path of POST /payments: a new payment in its plainest form, from the request to the 202, without Python.
//
// At the contest's load every request meets cold caches, and an API process in Python took 184 us of CPU for each (at
// 550 requests/s 122). With this code it takes 50 (35), and the kernel takes most of that. This code decides only plain
// cases. Every other case (a body in several pieces, other fields, a correlationId that is known, a full ring, a
// reader's race) goes to the code in Python, which has all cases and is the only description of them. In its own case
// this code must do exactly what Python does in payment.parse(), Acceptor.accept(), RingReader.find(),
// RingWriter.put(), IdMemory.remember(), Doorbell.ring_if_asleep().
//
// LAYOUT_* come from engine/memory/layout.py and metrics_layout.py by way of engine/intake/build.py.

#define _GNU_SOURCE // F_OFD_SETLK

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct uws_req_s uws_req_t;
typedef struct uws_res_s uws_res_t;
#include "fast_path.h"

enum { PLAIN = 0 };                 // socketify's functions: no TLS
enum { LENGTH_DIGITS_MAX = 5 };     // of a Content-Length; ENGINE_BODY_BYTES_MAX has 4
enum { AMOUNT_DIGITS_MAX = 13 };    // before the point; more is not plain
enum { ID_BYTES = 36 };

// What the code below assumes of the layout.
_Static_assert(LAYOUT_RING_HEADER_WORDS % 8 == 0 && LAYOUT_RING_HEAD_AT < LAYOUT_RING_HEADER_WORDS &&
                   LAYOUT_RING_READY_AT < LAYOUT_RING_HEADER_WORDS && LAYOUT_RING_FORGOTTEN_AT < LAYOUT_RING_HEADER_WORDS &&
                   LAYOUT_RING_LEDGER_AT < LAYOUT_RING_HEADER_WORDS,
               "a ring's own words are in its header");
_Static_assert(LAYOUT_SLOT_SEQUENCE < LAYOUT_SLOT_PROGRESS && LAYOUT_SLOT_CHECK < LAYOUT_SLOT_PROGRESS &&
                   LAYOUT_SLOT_ORIGIN < LAYOUT_SLOT_PROGRESS && LAYOUT_SLOT_PROGRESS < LAYOUT_SLOT_WORDS,
               "what an API process writes of a slot comes before what the dispatcher writes");
_Static_assert(LAYOUT_ORIGIN_CLOCK_MASK < LAYOUT_ORIGIN_SEEN && LAYOUT_ORIGIN_SEEN < 1ULL << LAYOUT_ORIGIN_SHOP_SHIFT,
               "a clock and an id that was seen do not reach into the number of a shop");
_Static_assert(LAYOUT_PARKED_ID_HIGH < LAYOUT_PARKED_WORDS && LAYOUT_PARKED_ID_LOW < LAYOUT_PARKED_WORDS,
               "ids are in their parked places");
_Static_assert(LAYOUT_IDS_BUCKET_WORDS * 4 == LAYOUT_IDS_BUCKET_LANES + 1 && LAYOUT_IDS_BUCKET_LANES < UINT16_MAX &&
                   LAYOUT_IDS_HEADER_WORDS % 2 == 0 && LAYOUT_IDS_BUCKET_WORDS % 8 == 0,
               "a bucket of the id memory is a cursor and fingerprints of 16 bits, aligned for 16 bytes");
_Static_assert((LAYOUT_STRIPES & (LAYOUT_STRIPES - 1)) == 0, "stripes are a power of two");
_Static_assert(sizeof(uintptr_t) == 8 && FAST_PATH_BEGAN_SHIFT + FAST_PATH_BEGAN_BITS == 64 &&
                   99999 < 1 << FAST_PATH_BEGAN_SHIFT,
               "a length of LENGTH_DIGITS_MAX digits and a time are in one pointer");

const char fast_path_stamp[] = FAST_PATH_STAMP; // what this was built from, for fast_path.py

// --- the body --------------------------------------------------------------------------------------------------------

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

// The place behind `text` with blanks around it, NULL if something else is there.
static const char *skip(const char *at, const char *end, const char *text, size_t length)
{
    at = skip_blanks(at, end);
    if ((size_t)(end - at) < length || memcmp(at, text, length) != 0)
        return NULL;
    return skip_blanks(at + length, end);
}

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

static int hexadecimal(char character)
{
    if (is_digit(character))
        return character - '0';
    character |= 'a' ^ 'A';
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

// The place behind a canonical UUID in quotes, NULL if there is none.
static const char *read_id(const char *at, const char *end, struct fast_path_payment *payment)
{
    if (end - at < ID_BYTES + 2 || at[0] != '"' || at[ID_BYTES + 1] != '"')
        return NULL;
    at++;
    uint64_t halves[2] = {0, 0};
    for (int index = 0, digits = 0; index < ID_BYTES; index++) {
        if (index == 8 || index == 13 || index == 18 || index == 23) {
            if (at[index] != '-')
                return NULL;
            continue;
        }
        int digit = hexadecimal(at[index]);
        if (digit < 0)
            return NULL;
        halves[digits / 16] = halves[digits / 16] << 4 | (uint64_t)digit;
        digits++;
    }
    payment->id_high = halves[0];
    payment->id_low = halves[1];
    return at + ID_BYTES + 1;
}

// The place behind a positive amount with at most two decimal places, no sign and no exponent; NULL if there is none.
static const char *read_amount(const char *at, const char *end, struct fast_path_payment *payment)
{
    const char *begin = at;
    uint64_t cents = 0;
    while (at < end && is_digit(*at) && at - begin < AMOUNT_DIGITS_MAX)
        cents = cents * 10 + (uint64_t)(*at++ - '0');
    if (at == begin || (*begin == '0' && at - begin > 1))
        return NULL;
    cents *= 100;
    if (at < end && *at == '.') {
        at++;
        if (at == end || !is_digit(*at))
            return NULL;
        cents += (uint64_t)(*at++ - '0') * 10;
        if (at < end && is_digit(*at))
            cents += (uint64_t)(*at++ - '0');
    }
    payment->cents = cents;
    return cents > 0 ? at : NULL; // what follows must be a comma or a brace, so a longer number is refused there
}

bool fast_path_parse(const char *body, size_t length, struct fast_path_payment *payment)
{
    static const char id_name[] = "\"correlationId\"", amount_name[] = "\"amount\"";
    const char *end = body + length, *at = skip(body, end, "{", 1);
    bool has_id = false, has_amount = false;
    for (int field = 0; at != NULL && field < 2; field++) {
        const char *value = skip(at, end, id_name, sizeof id_name - 1);
        bool is_id = value != NULL;
        if (!is_id)
            value = skip(at, end, amount_name, sizeof amount_name - 1);
        if (value == NULL || (is_id ? has_id : has_amount) || (value = skip(value, end, ":", 1)) == NULL)
            return false;
        at = is_id ? read_id(value, end, payment) : read_amount(value, end, payment);
        if (is_id)
            has_id = true;
        else
            has_amount = true;
        if (at != NULL)
            at = skip(at, end, field == 0 ? "," : "}", 1);
    }
    return at == end;
}

// --- rings and books -------------------------------------------------------------------------------------------------

// On x86-64 both are plain moves; what matters is that the compiler keeps them whole and in their order.
static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static uint64_t finalise(uint64_t word)
{
    word = (word ^ word >> 30) * LAYOUT_MIX_A;
    word = (word ^ word >> 27) * LAYOUT_MIX_B;
    return word ^ word >> 31;
}

// mix() of engine/memory/hashing.py.
static uint64_t mix(uint64_t id_high, uint64_t id_low, uint64_t seed_high, uint64_t seed_low)
{
    return finalise(finalise(id_high * seed_high) ^ id_low * seed_low);
}

static uint64_t mix_of_ring(const uint64_t *ring, uint64_t id_high, uint64_t id_low)
{
    return mix(id_high, id_low, ring[LAYOUT_RING_SEED_HIGH_AT], ring[LAYOUT_RING_SEED_LOW_AT]);
}

// Rings that were made together have the same: then one mix does for all of them.
static bool have_one_seed(const uint64_t *ring, const uint64_t *other)
{
    return ring[LAYOUT_RING_SEED_HIGH_AT] == other[LAYOUT_RING_SEED_HIGH_AT] &&
           ring[LAYOUT_RING_SEED_LOW_AT] == other[LAYOUT_RING_SEED_LOW_AT];
}

// The bucket of an id whose mix by this ring's seeds is `mixed`.
static uint64_t *bucket_of(uint64_t *ring, uint64_t mixed)
{
    uint64_t slots = ring[LAYOUT_RING_SLOTS_AT]; // a power of two, at least 64
    return ring + LAYOUT_RING_HEADER_WORDS + (mixed >> (64 - __builtin_ctzll(slots)));
}

static uint64_t *slot_of(uint64_t *ring, uint64_t position)
{
    uint64_t slots = ring[LAYOUT_RING_SLOTS_AT];
    return ring + LAYOUT_RING_HEADER_WORDS + slots + (position & (slots - 1)) * LAYOUT_SLOT_WORDS;
}

// Whether a correlationId is certainly not in a ring: RingReader.find() without what it does when the ring is being
// written or left by a killed writer.
static bool is_absent(uint64_t *ring, const uint64_t *bucket, uint64_t id_high, uint64_t id_low)
{
    uint64_t head = load(ring + LAYOUT_RING_HEAD_AT), forgotten = load(ring + LAYOUT_RING_FORGOTTEN_AT);
    uint64_t link = load(bucket);
    for (uint64_t step = 0; step < ring[LAYOUT_RING_SLOTS_AT]; step++) {
        if (link == 0)
            return true;
        if (link > head)
            return false;
        const uint64_t *slot = slot_of(ring, link - 1);
        if (load(slot + LAYOUT_SLOT_SEQUENCE) != link) // overwritten, like all older ones
            return true;
        if (load(slot + LAYOUT_SLOT_ID_LOW) == id_low && load(slot + LAYOUT_SLOT_ID_HIGH) == id_high)
            return link <= forgotten;
        uint64_t next = load(slot + LAYOUT_SLOT_LINK);
        if (load(slot + LAYOUT_SLOT_SEQUENCE) != link)
            return true;
        link = next;
    }
    return true; // every slot was in this chain
}

// Whether a correlationId is certainly not among the payments that were parked: parked.find() for books that are not
// being written.
static bool is_not_parked(const struct fast_path *fast_path, uint64_t id_high, uint64_t id_low)
{
    const uint64_t *books = fast_path->books;
    if (load(books + LAYOUT_BOOKS_PARKED_TAKEN_AT) == 0)
        return true;
    uint64_t version = load(books + LAYOUT_BOOKS_VERSION_AT);
    if (version & 1)
        return false;
    uint64_t seed = books[LAYOUT_BOOKS_PARKED_SEED_AT], mixed = mix(id_high, id_low, seed, seed);
    uint64_t bucket = (mixed >> 32) % (books[LAYOUT_BOOKS_PARKED_SLOTS_AT] / LAYOUT_PARKED_WAYS);
    const uint64_t *place = books + fast_path->parked_at + bucket * LAYOUT_PARKED_WAYS * LAYOUT_PARKED_WORDS;
    for (size_t way = 0; way < LAYOUT_PARKED_WAYS; way++, place += LAYOUT_PARKED_WORDS)
        if (load(place + LAYOUT_PARKED_ID_LOW) == id_low && load(place + LAYOUT_PARKED_ID_HIGH) == id_high)
            return false;
    return load(books + LAYOUT_BOOKS_VERSION_AT) == version;
}

// RingReader.is_done(), for the payment that is in the slot still.
static bool is_done(const uint64_t *ring, const uint64_t *slot, uint64_t position)
{
    uint64_t progress = load(slot + LAYOUT_SLOT_PROGRESS);
    uint64_t state = progress & 0xFF;
    if (position < load(ring + LAYOUT_RING_FORGOTTEN_AT))
        return true;
    if (progress >> 32 != (position & UINT32_MAX))
        return false;
    return state == LAYOUT_COMPLETED || state == LAYOUT_FAILED || state == LAYOUT_PARKED || state == LAYOUT_CHARGED_BEFORE;
}

// RingWriter.has_room(), which also counts what is refused.
static bool has_room(const struct fast_path *fast_path, uint64_t *ring)
{
    uint64_t position = load(ring + LAYOUT_RING_HEAD_AT), slots = ring[LAYOUT_RING_SLOTS_AT];
    if (position < slots)
        return true;
    if (fast_path->waits_for_ledger && position - slots >= load(ring + LAYOUT_RING_LEDGER_AT))
        return false;
    return is_done(ring, slot_of(ring, position), position - slots);
}

// RingWriter.put() where there is room, store by store: a kill between any two must leave what the next writer can take
// back.
static void put(uint64_t *ring, uint64_t *bucket, const struct fast_path_payment *payment, uint64_t accepted_ms,
                uint64_t origin)
{
    uint64_t position = load(ring + LAYOUT_RING_HEAD_AT);
    uint64_t *slot = slot_of(ring, position);
    uint64_t check = payment->id_high * LAYOUT_CHECK_A ^ payment->id_low * LAYOUT_CHECK_B ^
                     payment->cents * LAYOUT_CHECK_C ^ accepted_ms * LAYOUT_CHECK_D ^ origin * LAYOUT_CHECK_E ^ position;
    store(slot + LAYOUT_SLOT_SEQUENCE, 0);
    store(slot + LAYOUT_SLOT_ID_HIGH, payment->id_high);
    store(slot + LAYOUT_SLOT_ID_LOW, payment->id_low);
    store(slot + LAYOUT_SLOT_CENTS, payment->cents);
    store(slot + LAYOUT_SLOT_ACCEPTED_MS, accepted_ms);
    store(slot + LAYOUT_SLOT_ORIGIN, origin);
    store(slot + LAYOUT_SLOT_LINK, load(bucket));
    store(slot + LAYOUT_SLOT_CHECK, check);
    store(slot + LAYOUT_SLOT_SEQUENCE, position + 1);
    store(bucket, position + 1);
    store(ring + LAYOUT_RING_HEAD_AT, position + 1);
    store(ring + LAYOUT_RING_READY_AT, position + 1);
}

// The bucket of an id in the id memory, from its mix.
static uint64_t *ids_of(uint64_t *ids, uint64_t mixed)
{
    uint64_t groups = ids[LAYOUT_IDS_BUCKETS_AT] / LAYOUT_STRIPES;
    uint64_t bucket = ((mixed >> 32) * groups >> 32) * LAYOUT_STRIPES + mixed % LAYOUT_STRIPES;
    return ids + LAYOUT_IDS_HEADER_WORDS + bucket * LAYOUT_IDS_BUCKET_WORDS;
}

static uint64_t fingerprint_of(uint64_t mixed)
{
    uint64_t fingerprint = mixed >> 16 & UINT16_MAX;
    return fingerprint < LAYOUT_IDS_BUCKET_LANES ? fingerprint + LAYOUT_IDS_BUCKET_LANES : fingerprint;
}

// IdMemory.contains(). The caller holds the bucket's lock, so no other process writes the bucket, and plain loads of
// eight lanes at once are enough.
static bool has_seen(uint64_t *ids, uint64_t mixed)
{
    typedef uint16_t lanes_t __attribute__((vector_size(16), may_alias));
    lanes_t wanted = (lanes_t){0} + (uint16_t)fingerprint_of(mixed), hits = {0};
    const lanes_t *lanes = (const lanes_t *)ids_of(ids, mixed);
#pragma GCC unroll 8
    for (size_t index = 0; index < LAYOUT_IDS_BUCKET_WORDS * sizeof *ids / sizeof *lanes; index++)
        hits |= (lanes_t)(lanes[index] == wanted);
    uint64_t found[2];
    memcpy(found, &hits, sizeof found);
    return (found[0] | found[1]) != 0;
}

// IdMemory.remember(), under the same lock.
static void remember(uint64_t *ids, uint64_t mixed)
{
    uint64_t *bucket = ids_of(ids, mixed);
    uint64_t cursor = load(bucket) & UINT16_MAX;
    uint64_t lane = cursor < LAYOUT_IDS_BUCKET_LANES ? cursor + 1 : 1;
    uint64_t *place = bucket + lane / 4, shift = lane % 4 * 16;
    store(bucket, (load(bucket) & ~(uint64_t)UINT16_MAX) | lane % LAYOUT_IDS_BUCKET_LANES);
    store(place, (load(place) & ~((uint64_t)UINT16_MAX << shift)) | fingerprint_of(mixed) << shift);
}

// Takes (F_WRLCK) or gives back (F_UNLCK) a record lock; false when another process has it. For that one must wait, and
// not for ever: FileLock.locked() does.
static bool lock(int descriptor, short type, uint64_t stripe)
{
    struct flock record = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)stripe, .l_len = 1};
    return fcntl(descriptor, F_OFD_SETLK, &record) == 0;
}

bool fast_path_accept(const struct fast_path *fast_path, const struct fast_path_payment *payment, uint64_t accepted_ms,
                      uint64_t clock_ms)
{
    uint64_t id_high = payment->id_high, id_low = payment->id_low;
    uint64_t *ring = fast_path->rings[fast_path->own], *ids = fast_path->ids;
    bool is_alone = fast_path->ring_count == 1;
    if (payment->cents > fast_path->cents_max)
        return false;
    uint64_t mixed = mix_of_ring(fast_path->rings[0], id_high, id_low), stripe = mixed % LAYOUT_STRIPES;
    if (ids != NULL) // on its way while the lock is taken and the rings are searched
        for (size_t line = 0; line < LAYOUT_IDS_BUCKET_WORDS; line += 8)
            __builtin_prefetch(ids_of(ids, mixed) + line);
    if (!is_alone && !lock(fast_path->lock, F_WRLCK, stripe))
        return false;
    bool is_new = true;
    uint64_t *own_bucket = NULL;
    for (size_t index = 0; is_new && index < fast_path->ring_count; index++) {
        uint64_t *one = fast_path->rings[index];
        bool is_mixed = have_one_seed(one, fast_path->rings[0]);
        uint64_t *bucket = bucket_of(one, is_mixed ? mixed : mix_of_ring(one, id_high, id_low));
        if (one == ring)
            own_bucket = bucket;
        is_new = is_absent(one, bucket, id_high, id_low);
    }
    // The books come last: a payment is there before its slot is given away.
    is_new = is_new && is_not_parked(fast_path, id_high, id_low);
    bool is_accepted = is_new && has_room(fast_path, ring);
    bool is_seen = is_accepted && ids != NULL && has_seen(ids, mixed);
    if (is_seen && fast_path->leaves_seen)
        is_accepted = false;
    if (is_accepted) {
        // Before it is published: every payment that is accepted must be remembered.
        if (ids != NULL)
            remember(ids, mixed);
        put(ring, own_bucket, payment, accepted_ms, is_seen ? clock_ms | LAYOUT_ORIGIN_SEEN : clock_ms);
    }
    if (!is_alone)
        lock(fast_path->lock, F_UNLCK, stripe);
    return is_accepted;
}

// --- times -----------------------------------------------------------------------------------------------------------

void fast_path_note(uint64_t *times, uint64_t us)
{
    uint64_t bucket = 0;
    if (us >> LAYOUT_TIMES_HIGH_BITS != 0) {
        bucket = LAYOUT_TIMES_BUCKETS - 1;
    } else if (us >> LAYOUT_TIMES_LOW_BITS != 0) {
        uint64_t shift = 63 - (uint64_t)__builtin_clzll(us) - LAYOUT_TIMES_STEP_BITS;
        uint64_t octave = shift - (LAYOUT_TIMES_LOW_BITS - LAYOUT_TIMES_STEP_BITS);
        bucket = (octave << LAYOUT_TIMES_STEP_BITS) + (us >> shift) - (1 << LAYOUT_TIMES_STEP_BITS) + 1;
    }
    // This process is the one writer: no other store can come in between.
    store(times + bucket, load(times + bucket) + 1);
    store(times + LAYOUT_TIMES_SUM, load(times + LAYOUT_TIMES_SUM) + us);
}

static uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// --- HTTP ------------------------------------------------------------------------------------------------------------

static struct fast_path *acceptor;

void fast_path_serve(struct fast_path *fast_path)
{
    acceptor = fast_path;
}

static void ring_if_asleep(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); // the load must not overtake the store that published
    if (load(acceptor->books + LAYOUT_STATUS_ASLEEP) != 0) {
        // A full pipe has rung often enough, and the dispatcher also wakes by itself.
        ssize_t written = write(acceptor->doorbell, "!", 1);
        (void)written;
    }
}

static uint64_t now_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool take(const char *body, size_t length)
{
    struct fast_path_payment payment;
    if (!fast_path_parse(body, length, &payment))
        return false;
    uint64_t clock_ms = now_ms(CLOCK_BOOTTIME) + load(acceptor->books + LAYOUT_BOOKS_CLOCK_OFFSET_AT);
    return fast_path_accept(acceptor, &payment, now_ms(CLOCK_REALTIME), clock_ms & LAYOUT_ORIGIN_CLOCK_MASK);
}

static void on_aborted(uws_res_t *response, void *unused)
{
    (void)response;
    (void)unused;
    acceptor->waiting--;
}

// `packed` has the Content-Length, and a piece of that length is the whole body; and when the request came.
static void on_data(uws_res_t *response, const char *piece, size_t length, bool is_end, void *packed)
{
    static const char accepted[] = "202 Accepted";
    uint64_t expected = (uintptr_t)packed & ((1 << FAST_PATH_BEGAN_SHIFT) - 1);
    if (is_end && length == expected && take(piece, length)) {
        ring_if_asleep();
        acceptor->waiting--;
        acceptor->write_status(PLAIN, response, accepted, sizeof accepted - 1);
        acceptor->end(PLAIN, response, "", 0, acceptor->is_stopping);
        if (acceptor->times != NULL) {
            uint64_t us = monotonic_us() - ((uintptr_t)packed >> FAST_PATH_BEGAN_SHIFT);
            fast_path_note(acceptor->times, us & ((1ULL << FAST_PATH_BEGAN_BITS) - 1));
        }
    } else if (is_end || length > 0) {
        acceptor->other_data(response, piece, length, is_end, packed);
    }
}

// The value of a header, NULL if it is absent or empty.
static const char *header(uws_req_t *request, const char *name, size_t name_length, size_t *length)
{
    const char *value = NULL;
    *length = acceptor->get_header(request, name, name_length, &value);
    return *length > 0 ? value : NULL;
}

// Keeps the trace of a request.
static void keep_trace(uws_res_t *response, uws_req_t *request)
{
    static const char name[] = "traceparent";
    size_t length;
    const char *text = header(request, name, sizeof name - 1, &length);
    if (text == NULL || length != FAST_PATH_TRACE_BYTES)
        return;
    memcpy(acceptor->traceparent, text, length);
    acceptor->traced = response;
}

// The Content-Length of a request whose body is likely to be plain, 0 for any other request.
static size_t plain_length(uws_res_t *response, uws_req_t *request)
{
    static const char length_name[] = "content-length", type_name[] = "content-type", coding_name[] = "transfer-encoding";
    // nginx says in this way that there is a trace, so that a request without one costs nothing.
    static const char json[] = "application/json", traced[] = "application/json;traced";
    size_t digits, size, length = 0;
    const char *text = header(request, length_name, sizeof length_name - 1, &digits);
    if (text == NULL || digits > LENGTH_DIGITS_MAX)
        return 0;
    for (size_t index = 0; index < digits; index++) {
        if (!is_digit(text[index]))
            return 0;
        length = length * 10 + (size_t)(text[index] - '0');
    }
    text = header(request, type_name, sizeof type_name - 1, &size);
    bool is_json = text == NULL || (size == sizeof json - 1 && memcmp(text, json, size) == 0);
    if (!is_json && size == sizeof traced - 1 && memcmp(text, traced, size) == 0) {
        is_json = true;
        keep_trace(response, request);
    }
    bool is_coded = header(request, coding_name, sizeof coding_name - 1, &size) != NULL;
    return is_json && !is_coded && length <= acceptor->body_bytes_max ? length : 0;
}

void fast_path_on_request(uws_res_t *response, uws_req_t *request, void *unused)
{
    acceptor->traced = NULL;
    size_t length = plain_length(response, request);
    if (length == 0) {
        acceptor->other_request(response, request, unused);
        return;
    }
    acceptor->waiting++;
    acceptor->on_aborted(PLAIN, response, on_aborted, NULL);
    uint64_t began_us = acceptor->times != NULL ? monotonic_us() : 0;
    acceptor->on_data(PLAIN, response, on_data, (void *)(began_us << FAST_PATH_BEGAN_SHIFT | length));
}
