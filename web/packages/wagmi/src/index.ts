/** Connector of a Pinseal wallet for wagmi. Importing it touches nothing. */

export { type Kept, type PinsealParameters, pinseal } from "./connector.js";
