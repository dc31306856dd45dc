// Callers of both TypeScript clients, as `tsc --strict` is to accept them.
import createClient from "openapi-fetch";
import { createClient as createHeyClient } from "./hey/client";
import { getVersion } from "./hey/sdk.gen";
import type { paths } from "./schema";

const headers = { Authorization: "Bearer dyn_pat_…" };
const params = { path: { workflow_id: "0199c2f1-7a3e-7000-8000-000000000000", version: "latest" } };

const fetched = createClient<paths>({ baseUrl: "http://127.0.0.1:8080", headers });
const first = await fetched.GET("/v1/workflows/{workflow_id}/versions/{version}", { params });
export const label: string | undefined = first.data?.data.label;
export const code: string | undefined = first.error?.error.code;

const client = createHeyClient({ baseUrl: "http://127.0.0.1:8080", headers });
const second = await getVersion({ client, path: params.path });
export const number: number | undefined = second.data?.data.version;
