// Runs before the first paint, so that neither the colours nor the language flicker.
import { apply } from "./preferences.js";

apply();
