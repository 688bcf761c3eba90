-- Payments for wrk 4: every one with a correlationId of its own. Arguments after `--`: a seed of 8 hex digits.
--
-- An id is <seed>-<thread>-4000-8000-<number>: as a UUID should be (RFC 9562, version 4), and none comes twice while no
-- two runs have the same seed. The request is put together here, because wrk.format() goes through all headers each time.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  count = 0
  local first = string.format('{"correlationId":"%s-%04x-4000-8000-', arguments[1], number)
  head = string.format(
    "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
    wrk.path, wrk.host, #first + #last(0), first)
end

function last(number)
  return string.format('%012x","amount":19.90}', number)
end

function request()
  count = count + 1
  return head .. last(count)
end

-- Microseconds, as wrk has them.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"seconds":%.6f,"answers":%d,"refused":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,' ..
    '"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\n',
    summary.duration / 1e6, summary.requests, errors.status, errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
