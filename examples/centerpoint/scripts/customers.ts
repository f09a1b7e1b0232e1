// Brings all customers of a CRM into a warehouse, page by page.
// Each record is PUT under its own key, so that doing it twice changes nothing; each page ends with a checkpoint.
import { checkpoint, fail, log, progress, result, start, variable } from "./aurea.ts";

interface Customer {
  id: string;
  name: string;
}
interface Page {
  items: Customer[];
  total: number;
  next: string | null;
}
interface Position {
  next: string | null;
  stored: number;
}

const crm = { url: variable("CRM_URL"), token: variable("CRM_TOKEN") };
const warehouse = { url: variable("WAREHOUSE_URL"), token: variable("WAREHOUSE_TOKEN") };
const task = await start<{ page_size?: number } | null, Position>();
const pageSize = task.input?.page_size ?? 100;

let position: Position = task.checkpoint ?? { next: "", stored: 0 };
if (task.checkpoint) log("goes on", { after: position.next, stored: position.stored });
while (position.next !== null) {
  const query = new URLSearchParams({ after: position.next, limit: `${pageSize}` });
  const page: Page = await (await call(crm, `/customers?${query}`)).json();
  await Promise.all(page.items.map(store));
  position = { next: page.next, stored: position.stored + page.items.length };
  await checkpoint(position);
  progress(page.total ? position.stored / page.total : 1, `${position.stored} of ${page.total} customers`);
}
result({ stored: position.stored });

async function store(customer: Customer): Promise<void> {
  const path = `/customers/${encodeURIComponent(customer.id)}`;
  await (await call(warehouse, path, { method: "PUT", body: JSON.stringify(customer) })).body?.cancel();
}

async function call(service: { url: string; token: string }, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${service.token}`, "content-type": "application/json" };
  const answer = await fetch(service.url + path, { ...init, headers });
  if (answer.ok) return answer;
  const message = `${init.method ?? "GET"} ${path.split("?")[0]} answered ${answer.status}`;
  const retry = answer.status === 429 || answer.status >= 500;
  const after = Number(answer.headers.get("retry-after"));
  return await fail(message, retry && after > 0 ? { retry, after_seconds: after } : { retry });
}
