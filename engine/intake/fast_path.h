// What fast_path.c and fast_path.py share. cffi reads this file as it is, so it has declarations only.

// Bytes of a traceparent as W3C has it.
enum { FAST_PATH_TRACE_BYTES = 55 };

// One acceptor: the memory that it uses and the functions that it may call. fast_path.py fills it in. Words are 64
// bits, see engine/memory/layout.py. Only the one thread of the loop uses it.
struct fast_path {
    uint64_t **rings; // the words of every ring, in the order of their index
    size_t ring_count;
    size_t own;            // index of the ring that this process writes
    const uint64_t *books; // the words of the books
    uint64_t parked_at;    // the word of the books at which the parking table begins
    uint64_t *ids;         // the words of the id memory, NULL when there is none
    bool waits_for_ledger; // a slot is used again only when SQL has what became of its payment
    uint64_t *times;       // how long accepting took: the times of the process's page, NULL when nothing is counted
    bool leaves_seen;      // a payment whose id it has seen is left to Python, which asks the ledger
    int lock;              // descriptor of the file of the locks of engine/intake/acceptor.py
    int doorbell;          // descriptor of the pipe of engine/memory/doorbell.py
    uint64_t cents_max;
    size_t body_bytes_max;
    bool is_stopping; // answers say "Connection: close"
    size_t waiting;   // requests whose body has not come yet

    // The trace of the last request, for Python, in case its body is not plain; NULL when it has none.
    uws_res_t *traced;
    char traceparent[FAST_PATH_TRACE_BYTES];

    // socketify's functions; their first argument is PLAIN.
    size_t (*get_header)(uws_req_t *, const char *, size_t, const char **);
    void (*write_status)(int, uws_res_t *, const char *, size_t);
    void (*end)(int, uws_res_t *, const char *, size_t, bool);
    void (*on_data)(int, uws_res_t *, void (*)(uws_res_t *, const char *, size_t, bool, void *), void *);
    void (*on_aborted)(int, uws_res_t *, void (*)(uws_res_t *, void *), void *);

    // Python's functions: for a request that is not taken, and for a piece of a body whose request was taken and then
    // given up. The last argument of the latter is when the request began, see FAST_PATH_BEGAN_SHIFT.
    void (*other_request)(uws_res_t *, uws_req_t *, void *);
    void (*other_data)(uws_res_t *, const char *, size_t, bool, void *);
};

struct fast_path_payment {
    uint64_t id_high, id_low, cents;
};

// Whether `body` is a payment in its plainest form, as engine/intake/payment.py would read it too.
bool fast_path_parse(const char *body, size_t length, struct fast_path_payment *payment);

// Puts a payment into the own ring. If the case is not plain, it returns false and changes nothing. Both times are those
// of the acceptance: by the wall clock, and by the engine's clock.
bool fast_path_accept(const struct fast_path *fast_path, const struct fast_path_payment *payment, uint64_t accepted_ms,
                      uint64_t clock_ms);

// What travels with a request until its body is there: the Content-Length below FAST_PATH_BEGAN_SHIFT bits of when the
// request came, in us of CLOCK_MONOTONIC, cut off at the top.
enum { FAST_PATH_BEGAN_SHIFT = 17, FAST_PATH_BEGAN_BITS = 47 };

// Counts `us` microseconds in `times`, as note() of engine/metrics/times.py does.
void fast_path_note(uint64_t *times, uint64_t us);

// From now on the callback below works with this acceptor. There is one in a process.
void fast_path_serve(struct fast_path *fast_path);

// socketify's handler of POST /payments.
void fast_path_on_request(uws_res_t *response, uws_req_t *request, void *unused);
