// SPDX-License-Identifier: Apache-2.0
//
// Pushes a counter, an up-down counter, a gauge and histograms with one of the official exporters:
//
//   node push.mjs grpc|proto|json ADDRESS none|gzip cumulative|delta PREFIX
//
// Two collections; prints one JSON line with what was recorded, or the exporter's error.
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.OTEL_JS ?? process.cwd(), 'index.js'));
const { AggregationTemporality, MeterProvider, PeriodicExportingMetricReader, ExponentialHistogramAggregation, View } =
  require('@opentelemetry/sdk-metrics');
const { Resource } = require('@opentelemetry/resources');

const [kind, address, compression, temporality, prefix] = process.argv.slice(2);
const options = {
  url: kind === 'grpc' ? `http://${address}` : `http://${address}/v1/metrics`,
  compression,
  timeoutMillis: 5000,
  temporalityPreference: temporality === 'delta' ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE,
};
const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${kind === 'json' ? 'http' : kind}`);
const exporter = new OTLPMetricExporter(options);
const errors = [];
const send = exporter.export.bind(exporter);
exporter.export = (metrics, done) => send(metrics, (r) => {
  if (r.error) errors.push(`${r.error.code ?? ''} ${r.error.message}`);
  done(r);
});

const provider = new MeterProvider({
  resource: new Resource({ 'service.name': 'js', 'service.instance.id': `${kind}-${compression}-${temporality}` }),
  readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3600000 })],
  views: [new View({ instrumentName: `${prefix}_exponential`, aggregation: new ExponentialHistogramAggregation() })],
});
const meter = provider.getMeter('test', '1.0');
const counter = meter.createCounter(`${prefix}_requests_total`);
const inflight = meter.createUpDownCounter(`${prefix}_inflight`);
const queue = meter.createGauge(`${prefix}:queue`);
const explicit = meter.createHistogram(`${prefix}_seconds`, { advice: { explicitBucketBoundaries: [0.1, 0.5, 1] } });
const exponential = meter.createHistogram(`${prefix}_exponential`);

for (let round = 0; round < 2; round++) {
  counter.add(3, { path: '/a' });
  counter.add(2.5, { path: '/b' });
  inflight.add(round === 0 ? 7 : -3);
  queue.record(-1.5 + round, { model_name: 'ünïcode "q"' });
  for (const v of [0.05, 0.3, 0.3, 2]) explicit.record(v);
  for (const v of [1.5, 3, 3]) exponential.record(v);
  await provider.forceFlush();
}
await provider.shutdown();
console.log(JSON.stringify({ errors }));
process.exit(errors.length ? 1 : 0);
