// What openapi.json says, for people. All of it becomes text.
import { byId, make } from "./elements.js";

function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  return schema.type === "array" ? `${kind(schema.items)}[]` : schema.type ?? "any";
}

function table(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const row = make("tr");
    row.append(make("th", name + (schema.required?.includes(name) ? " *" : "")), make("td", kind(property)), make("td", property.description ?? ""));
    return row;
  });
  const body = make("tbody");
  body.append(...rows);
  const element = make("table");
  element.append(body);
  return element;
}

function folded(title, schema) {
  const details = make("details");
  details.append(make("summary", title), make("p", schema.description ?? ""), table(schema));
  return details;
}

async function show() {
  const api = await (await fetch("openapi.json")).json();
  const cards = Object.entries(api.paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, operation]) => {
    const card = make("article");
    const body = kind(operation.requestBody?.content["application/json"].schema);
    card.append(make("h2", `${method.toUpperCase()} ${path}`), make("p", operation.description ?? ""));
    if (body) card.append(make("p", `Body: ${body}`));
    const ends = Object.entries(operation.responses).map(([status, each]) => `${status} ${kind(each.content?.["application/json"]?.schema)}`);
    card.append(make("p", `Answers: ${ends.join(", ")}`));
    return card;
  }));
  const schemas = make("article");
  schemas.append(make("h2", "Schemas"), ...Object.entries(api.components.schemas).map(([name, schema]) => folded(name, schema)));
  byId("paths").replaceChildren(...cards, schemas);
}

show();
