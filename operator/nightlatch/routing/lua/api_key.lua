-- well_formed(text): nl_<12>_<43>_<6>, base62, the last six the CRC-32 of what stands before (see keys/api_key.py).
-- A typo is refused here, for the price of a table walk; it proves nothing about who wrote the key.
local KEY_LENGTH = 66
local KEY_SHAPE = "^nl_" .. string.rep("%w", 12) .. "_" .. string.rep("%w", 43) .. "_" .. string.rep("%w", 6) .. "$"
-- Anywhere in a URL, also with its underscores percent-encoded.
local KEY_TRACE = "nl_" .. string.rep("%w", 12) .. "_%w"
local DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

local CRC = {}
for i = 0, 255 do
  local value = i
  for _ = 1, 8 do
    value = band(value, 1) == 1 and bxor(rshift(value, 1), 0xedb88320) or rshift(value, 1)
  end
  CRC[i] = value
end

local function crc32(text)
  local value = bnot(0)
  for i = 1, #text do
    value = bxor(rshift(value, 8), CRC[band(bxor(value, text:byte(i)), 255)])
  end
  return bnot(value) % 4294967296
end

local function base62(number, width)
  local text = ""
  for _ = 1, width do
    local digit = number % 62
    text = DIGITS:sub(digit + 1, digit + 1) .. text
    number = (number - digit) / 62
  end
  return text
end

local function well_formed(text)
  return #text == KEY_LENGTH and text:find(KEY_SHAPE) ~= nil and base62(crc32(text:sub(1, 59)), 6) == text:sub(61)
end

local function key_in(path)
  if not path:find("nl", 1, true) then return false end
  return path:gsub("%%5[fF]", "_"):find(KEY_TRACE) ~= nil
end
