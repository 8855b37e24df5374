// Before npm packs the package in this directory: what is packed is made of the sources as they are, and of nothing that they had in it before.
import { build, sweep } from "./packages.mjs";

const here = process.cwd();
build(here);
sweep(here);
