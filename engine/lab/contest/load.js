// The load of the contest, for k6 1.1.0. No remote imports: they do not load without the internet.
//
// In:  CONTEST, the plan as JSON (see load.py); SUMMARY, the file for the totals.
// Out: on stderr one line for each request, "s <epoch ms> <status> <duration ms> <k6 error code> <correlationId>",
//      between "begin <epoch ms>" and "end <epoch ms>"; in SUMMARY k6's own totals, which are what counts.
import http from 'k6/http';
import { sleep } from 'k6';

const plan = JSON.parse(__ENV.CONTEST);
const accepted = http.expectedStatuses(200, 201, 202, 204);
const params = {
  headers: { 'Content-Type': 'application/json' },
  timeout: plan.timeout_ms,
  responseCallback: accepted,
};

export const options = {
  discardResponseBodies: true,
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'count'],
  scenarios: {
    payments: {
      executor: 'ramping-vus',
      startVUs: plan.start_vus,
      stages: plan.ramps.map((ramp) => ({ duration: `${ramp.duration_ms}ms`, target: ramp.target })),
      // If k6 broke off a request itself, the engine would accept it and nothing would count it.
      gracefulRampDown: `${plan.graceful_ms}ms`,
      gracefulStop: `${plan.graceful_ms}ms`,
    },
  },
};

export function setup() {
  console.log(`begin ${Date.now()}`);
}

export default function () {
  const id = crypto.randomUUID();
  const body = `{"correlationId":"${id}","amount":${plan.amount}}`;
  const answer = http.post(plan.url, body, params);
  console.log(`s ${Date.now()} ${answer.status} ${answer.timings.duration} ${answer.error_code} ${id}`);
  sleep(plan.sleep_s);
}

export function teardown() {
  console.log(`end ${Date.now()}`);
}

export function handleSummary(data) {
  const values = (name) => (data.metrics[name] ? data.metrics[name].values : null);
  return {
    [__ENV.SUMMARY]: JSON.stringify({
      requested: values('http_reqs'),
      failed: values('http_req_failed'),
      duration: values('http_req_duration{expected_response:true}'),
    }),
  };
}
