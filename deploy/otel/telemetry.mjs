// Preloaded with node's --import, it takes the service's spans and sends them over OTLP. docs/operations.md#traces says how.
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

// How long sending may take. What is longer would hold up the end of the process where nobody takes the spans.
const timeoutMillis = Number(process.env.OTEL_EXPORTER_OTLP_TIMEOUT ?? 2000);

const provider = new NodeTracerProvider({
  resource: defaultResource()
    .merge(resourceFromAttributes({ "service.name": "token-blacklist" }))
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
    .merge(detectResources({ detectors: [envDetector] })),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ timeoutMillis }))],
});

// Also what reads `traceparent`.
provider.register();

// When everything else has ended: what has not been sent yet. Where nobody takes it the service has not failed.
process.once("beforeExit", () => provider.shutdown().catch(() => {}));
