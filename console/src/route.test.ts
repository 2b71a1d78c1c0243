import { expect, test } from "vitest";
import { hrefOf, placeOf } from "./route";

test("an address leads back to where it was made, whatever the names hold", () => {
  const path = ["clusters", "a/b %?#", "tasks"];
  const place = placeOf(hrefOf(path, "eu-west-1", { tab: "logs" }));
  expect(place.path).toEqual(path);
  expect(place.query.get("region")).toBe("eu-west-1");
  expect(place.query.get("tab")).toBe("logs");
});

test("an empty address is the overview, and a broken one no failure", () => {
  expect(placeOf("").path).toEqual([]);
  expect(placeOf("#/").path).toEqual([]);
  expect(placeOf("#/clusters/100%").path).toEqual(["clusters", "100%"]);
});
