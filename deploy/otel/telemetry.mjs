// Preloaded with node's --import, it receives the service's spans and sends them over OTLP: see docs/operations.md#traces.
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

// The timeout of one export, in milliseconds. A longer one would delay the end of the process if the collector is unreachable.
const timeoutMillis = Number(process.env.OTEL_EXPORTER_OTLP_TIMEOUT ?? 2000);

const provider = new NodeTracerProvider({
  resource: defaultResource()
    .merge(resourceFromAttributes({ "service.name": "token-blacklist" }))
    // Reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
    .merge(detectResources({ detectors: [envDetector] })),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ timeoutMillis }))],
});

// Also registers the propagator that reads `traceparent`.
provider.register();

// Flushes pending spans after all other work. An unreachable collector is not a failure of the service.
process.once("beforeExit", () => provider.shutdown().catch(() => {}));
