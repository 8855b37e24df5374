/** The open wallet's screens in the browser's history, so that its back button goes back. */

import { PLACES, type Place } from "../state/state.ts";

/** The place that the address names. */
export function placeOf(): Place {
  const named = location.hash.replace(/^#\/?/, "");
  return PLACES.find((place) => place === named) ?? "home";
}

/** Goes there; nowhere, where nobody is logged in. */
export function showPlace(place: Place | undefined): void {
  if (place === undefined) history.replaceState(null, "", location.pathname + location.search);
  // In a frame the history is that of the page around it, and its back button is not the wallet's.
  else if (placeOf() !== place && window.parent !== window) location.replace(`#/${place}`);
  else if (placeOf() !== place) location.hash = `#/${place}`;
}
