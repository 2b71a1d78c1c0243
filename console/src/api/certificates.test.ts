import { expect, test } from "vitest";
import { blob, isPem, namesOf } from "./certificates";

test("a block of PEM is told from what is none", () => {
  const pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  expect(isPem(pem, "CERTIFICATE")).toBe(true);
  expect(isPem(pem, "PRIVATE KEY")).toBe(false);
  expect(isPem("-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----", "PRIVATE KEY")).toBe(true);
  expect(isPem("-----BEGIN CERTIFICATE-----", "CERTIFICATE")).toBe(false);
});

test("names stand on lines or between commas", () => {
  expect(namesOf(" a.test, *.a.test\nb.test\n")).toEqual(["a.test", "*.a.test", "b.test"]);
  expect(namesOf(" ")).toEqual([]);
});

test("blobs are sent in base64", () => {
  expect(blob("a\n")).toBe("YQo=");
});
